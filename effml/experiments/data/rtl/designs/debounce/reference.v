module debounce(
  input clk,
  input rst,
  input button,
  output reg pressed,
  output reg fell
);
  reg [1:0] same;
  always @(posedge clk) begin
    fell <= 1'b0;
    if (rst) begin
      pressed <= 1'b0;
      same <= 2'd0;
    end else if (button == pressed) same <= 2'd0;
    else if (same == 2'd3) begin
      pressed <= button;
      fell <= pressed;
      same <= 2'd0;
    end else same <= same + 2'd1;
  end
endmodule
