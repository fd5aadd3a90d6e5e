`timescale 1ns/1ps
module saturating_add_bench;
  reg signed [7:0] a, b;
  wire signed [7:0] sum;
  wire saturated;
  integer i, j, want, error;
  saturating_add dut(.a(a), .b(b), .sum(sum), .saturated(saturated));
  initial begin
    error = 0;
    for (i = -128; i < 128; i = i + 3)
      for (j = -128; j < 128; j = j + 5) begin
        a = i; b = j;
        #1 want = i + j;
        if (want > 127) want = 127;
        if (want < -128) want = -128;
        if (sum !== want[7:0] || saturated !== (want != i + j)) begin
          error = error + 1;
          if (error <= 5) $display("a=%0d b=%0d: sum=%0d saturated=%b, expected %0d", a, b, sum, saturated, want);
        end
      end
    if (error == 0) $display("===========Your Design Passed===========");
    else $display("===========Test completed with %0d failures===========", error);
    $finish;
  end
endmodule
