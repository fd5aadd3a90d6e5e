`timescale 1ns/1ps
module pwm_bench;
  reg clk = 0, rst_n;
  reg [7:0] width, in_force;
  wire out, start;
  integer period, step, error;
  always #5 clk = ~clk;
  pwm dut(.clk(clk), .rst_n(rst_n), .width(width), .out(out), .start(start));
  initial begin
    error = 0; rst_n = 0; width = 8'd77; in_force = 0;
    repeat (2) @(negedge clk);
    rst_n = 1;
    for (period = 0; period < 10; period = period + 1) begin
      for (step = 0; step < 256; step = step + 1) begin
        if (step == 100 || step == 255) width = $random;
        if (step == 255 && period == 3) width = 8'd0;
        if (step == 255 && period == 5) width = 8'd255;
        #1 if (out !== (step < in_force) || start !== (step == 0)) begin
          error = error + 1;
          if (error <= 5) $display("period %0d step %0d width in force %0d: out=%b start=%b", period, step, in_force, out, start);
        end
        if (step == 255) in_force = width;
        @(negedge clk);
      end
    end
    if (error == 0) $display("===========Your Design Passed===========");
    else $display("===========Test completed with %0d / 2560 failures===========", error);
    $finish;
  end
endmodule
