module round_robin(
  input clk,
  input rst_n,
  input [3:0] req,
  output reg [3:0] grant
);
  reg [1:0] turn;
  wire [7:0] twice = {req, req} >> turn;
  reg [1:0] ahead;
  always @* begin
    casez (twice[3:0])
      4'b???1: ahead = 2'd0;
      4'b??10: ahead = 2'd1;
      4'b?100: ahead = 2'd2;
      default: ahead = 2'd3;
    endcase
  end
  wire [1:0] chosen = turn + ahead;
  always @(posedge clk or negedge rst_n) begin
    if (!rst_n) begin
      grant <= 4'd0;
      turn <= 2'd0;
    end else if (req == 4'd0) grant <= 4'd0;
    else begin
      grant <= 4'd1 << chosen;
      turn <= chosen + 2'd1;
    end
  end
endmodule
