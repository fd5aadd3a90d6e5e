`timescale 1ns/1ps
module minute_counter_bench;
  reg clk = 0, rst_n, tick, down;
  wire [7:0] minutes, seconds;
  wire wrap;
  integer step, now, error;
  always #5 clk = ~clk;
  minute_counter dut(.clk(clk), .rst_n(rst_n), .tick(tick), .down(down), .minutes(minutes), .seconds(seconds), .wrap(wrap));
  initial begin
    error = 0; rst_n = 0; tick = 0; down = 0; now = 0;
    repeat (2) @(negedge clk);
    rst_n = 1;
    for (step = 0; step < 9000; step = step + 1) begin
      tick = ($random & 7) != 0;
      down = step > 4500 ? ($random & 31) != 0 : step > 4300 ? $random : 1'b0;
      #1 if (minutes[7:4] !== now / 600 || minutes[3:0] !== now / 60 % 10 || seconds[7:4] !== now % 60 / 10 || seconds[3:0] !== now % 10
          || wrap !== (tick && now == (down ? 0 : 3599))) begin
        error = error + 1;
        if (error <= 5) $display("step %0d tick=%b down=%b: %h:%h wrap=%b, expected %0d:%0d", step, tick, down, minutes, seconds, wrap, now / 60, now % 60);
      end
      if (tick) now = down ? (now + 3599) % 3600 : (now + 1) % 3600;
      @(negedge clk);
    end
    if (error == 0) $display("===========Your Design Passed===========");
    else $display("===========Test completed with %0d / 9000 failures===========", error);
    $finish;
  end
endmodule
