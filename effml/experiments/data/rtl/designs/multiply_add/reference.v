module multiply_add(
  input clk,
  input rst_n,
  input clear,
  input en,
  input [7:0] a,
  input [7:0] b,
  output reg [19:0] total
);
  wire [15:0] product = a * b;
  always @(posedge clk or negedge rst_n) begin
    if (!rst_n) total <= 20'd0;
    else if (en) total <= (clear ? 20'd0 : total) + product;
  end
endmodule
