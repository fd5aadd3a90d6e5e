`timescale 1ns/1ps
module multiply_add_bench;
  reg clk = 0, rst_n, clear, en;
  reg [7:0] a, b;
  wire [19:0] total;
  integer step, want, error;
  always #5 clk = ~clk;
  multiply_add dut(.clk(clk), .rst_n(rst_n), .clear(clear), .en(en), .a(a), .b(b), .total(total));
  initial begin
    error = 0; rst_n = 0; clear = 0; en = 1; a = 3; b = 5; want = 0;
    repeat (2) @(negedge clk);
    if (total !== 20'd0) begin error = error + 1; $display("in reset: total=%0d, expected 0", total); end
    rst_n = 1;
    for (step = 0; step < 500; step = step + 1) begin
      clear = ($random & 31) == 0; en = ($random & 3) != 0;
      a = $random; b = $random;
      if (step > 300) begin a = 8'hff; b = 8'hff; end
      #2 if (total !== want[19:0]) begin
        error = error + 1;
        if (error <= 5) $display("step %0d: total=%0d changed without a rising edge", step, total);
      end
      @(negedge clk);
      if (en) want = ((clear ? 0 : want) + a * b) % 1048576;
      if (total !== want[19:0]) begin
        error = error + 1;
        if (error <= 5) $display("step %0d clear=%b en=%b a=%0d b=%0d: total=%0d, expected %0d", step, clear, en, a, b, total, want);
      end
    end
    if (error == 0) $display("===========Your Design Passed===========");
    else $display("===========Test completed with %0d / 500 failures===========", error);
    $finish;
  end
endmodule
