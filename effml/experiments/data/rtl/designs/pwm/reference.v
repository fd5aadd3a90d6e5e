module pwm(
  input clk,
  input rst_n,
  input [7:0] width,
  output out,
  output start
);
  reg [7:0] counter, in_force;
  assign out = counter < in_force;
  assign start = counter == 8'd0;
  always @(posedge clk or negedge rst_n) begin
    if (!rst_n) begin
      counter <= 8'd0;
      in_force <= 8'd0;
    end else begin
      counter <= counter + 8'd1;
      if (counter == 8'd255) in_force <= width;
    end
  end
endmodule
