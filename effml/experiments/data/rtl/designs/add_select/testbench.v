`timescale 1ns/1ps
module add_select_bench;
  reg sel;
  reg [15:0] a, b, c, d;
  wire [16:0] y;
  reg [16:0] want;
  integer trial, error;
  add_select dut(.sel(sel), .a(a), .b(b), .c(c), .d(d), .y(y));
  initial begin
    error = 0;
    for (trial = 0; trial < 400; trial = trial + 1) begin
      sel = $random; a = $random; b = $random; c = $random; d = $random;
      if (trial % 8 == 0) begin a = 16'hffff; b = trial; end
      if (trial % 8 == 4) begin c = 16'hffff; d = trial; end
      #5 if (sel) want = {1'b0, a} + {1'b0, b}; else want = {1'b0, c} + {1'b0, d};
      if (y !== want) begin
        error = error + 1;
        if (error <= 5) $display("sel=%b a=%d b=%d c=%d d=%d: y=%d, expected %d", sel, a, b, c, d, y, want);
      end
    end
    if (error == 0) $display("===========Your Design Passed===========");
    else $display("===========Test completed with %0d / 400 failures===========", error);
    $finish;
  end
endmodule
