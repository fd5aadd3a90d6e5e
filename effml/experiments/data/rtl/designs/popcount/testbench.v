`timescale 1ns/1ps
module popcount_bench;
  reg [11:0] word;
  wire [3:0] count;
  wire odd;
  integer value, left, ones, error;
  popcount dut(.word(word), .count(count), .odd(odd));
  initial begin
    error = 0;
    for (value = 0; value < 4096; value = value + 1) begin
      word = value;
      ones = 0;
      for (left = value; left != 0; left = left & (left - 1)) ones = ones + 1;
      #1 if (count !== ones[3:0] || odd !== ones[0]) begin
        error = error + 1;
        if (error <= 5) $display("word=%b: count=%0d odd=%b, expected %0d", word, count, odd, ones);
      end
    end
    if (error == 0) $display("===========Your Design Passed===========");
    else $display("===========Test completed with %0d / 4096 failures===========", error);
    $finish;
  end
endmodule
