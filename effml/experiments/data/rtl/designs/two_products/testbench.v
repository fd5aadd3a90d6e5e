`timescale 1ns/1ps
module two_products_bench;
  reg [5:0] a;
  reg [4:0] b, c;
  wire [11:0] y;
  integer trial, want, error;
  two_products dut(.a(a), .b(b), .c(c), .y(y));
  initial begin
    error = 0;
    for (trial = 0; trial < 500; trial = trial + 1) begin
      a = $random; b = $random; c = $random;
      if (trial < 8) {a, b, c} = {16{1'b1}} << (3 * trial);
      #1 want = a;
      want = want * (b + c + 0);
      if (y !== want[11:0]) begin
        error = error + 1;
        if (error <= 5) $display("a=%0d b=%0d c=%0d: y=%0d, expected %0d", a, b, c, y, want);
      end
    end
    if (error == 0) $display("===========Your Design Passed===========");
    else $display("===========Test completed with %0d / 500 failures===========", error);
    $finish;
  end
endmodule
