module minute_counter(
  input clk,
  input rst_n,
  input tick,
  input down,
  output [7:0] minutes,
  output [7:0] seconds,
  output wrap
);
  wire seconds_end;
  wire minutes_end;
  assign wrap = tick && seconds_end && minutes_end;
  sixty low(.clk(clk), .rst_n(rst_n), .step(tick), .down(down), .digits(seconds), .at_end(seconds_end));
  sixty high(.clk(clk), .rst_n(rst_n), .step(tick && seconds_end), .down(down), .digits(minutes), .at_end(minutes_end));
endmodule

module sixty(
  input clk,
  input rst_n,
  input step,
  input down,
  output reg [7:0] digits,
  output at_end
);
  assign at_end = down ? digits == 8'h00 : digits == 8'h59;
  always @(posedge clk or negedge rst_n) begin
    if (!rst_n) digits <= 8'h00;
    else if (step) begin
      if (at_end) digits <= down ? 8'h59 : 8'h00;
      else if (down) digits <= digits[3:0] == 4'd0 ? {digits[7:4] - 4'd1, 4'd9} : digits - 8'd1;
      else digits <= digits[3:0] == 4'd9 ? {digits[7:4] + 4'd1, 4'd0} : digits + 8'd1;
    end
  end
endmodule
