`timescale 1ns/1ps
module debounce_bench;
  reg clk = 0, rst, button;
  wire pressed, fell;
  reg [3:0] seen;
  reg want, want_fell, was;
  integer step, hold, error;
  always #5 clk = ~clk;
  debounce dut(.clk(clk), .rst(rst), .button(button), .pressed(pressed), .fell(fell));
  initial begin
    error = 0; rst = 1; button = 0; seen = 0; want = 0; hold = 0;
    repeat (2) @(negedge clk);
    rst = 0;
    for (step = 0; step < 1000; step = step + 1) begin
      if (hold == 0) begin button = ~button; hold = 1 + ($random & 7); end
      hold = hold - 1;
      rst = step == 500;
      @(negedge clk);
      was = want;
      seen = {seen[2:0], button};
      if (rst) begin want = 0; seen = 0; end
      else if (seen == {4{~want}} && button != want) begin want = button; seen = {4{button}}; end
      want_fell = was && !want && !rst;
      if (pressed !== want || fell !== want_fell) begin
        error = error + 1;
        if (error <= 5) $display("step %0d button=%b: pressed=%b fell=%b, expected %b %b", step, button, pressed, fell, want, want_fell);
      end
    end
    if (error == 0) $display("===========Your Design Passed===========");
    else $display("===========Test completed with %0d / 1000 failures===========", error);
    $finish;
  end
endmodule
