// The product in a register of its own: a shorter path, and results one cycle later, which is another specification.
module multiply_add(
  input clk,
  input rst_n,
  input clear,
  input en,
  input [7:0] a,
  input [7:0] b,
  output reg [19:0] total
);
  reg [15:0] product;
  reg go, fresh;
  always @(posedge clk or negedge rst_n) begin
    if (!rst_n) begin
      product <= 16'd0;
      go <= 1'b0;
      fresh <= 1'b0;
      total <= 20'd0;
    end else begin
      product <= a * b;
      go <= en;
      fresh <= clear;
      if (go) total <= (fresh ? 20'd0 : total) + product;
    end
  end
endmodule
