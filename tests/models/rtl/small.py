"""A small problem for tests: an adder whose testbench is honest but tries only 20 random pairs."""

from effml.models.rtl.problem import Problem

ADDER = """module add4(input [3:0] a, input [3:0] b, output [4:0] s);
  assign s = a + b;
endmodule
"""
TESTBENCH = """`timescale 1ns/1ps
module bench;
  reg [3:0] a, b; wire [4:0] s; integer i, error;
  add4 dut(.a(a), .b(b), .s(s));
  initial begin
    error = 0;
    for (i = 0; i < 20; i = i + 1) begin
      a = $random; b = $random; #5;
      if (s !== a + b) begin error = error + 1; $display("a=%d b=%d: s=%d, expected %d", a, b, s, a + b); end
    end
    if (error == 0) $display("===========Your Design Passed===========");
    else $display("===========Test completed with %0d / 20 failures===========", error);
    $finish;
  end
endmodule
"""
PROBLEM = Problem("add4", "add4", "Add two 4-bit numbers: s = a + b, 5 bits.", TESTBENCH, ADDER)

COUNTER = """module count4(input clk, input rst_n, input en, output reg [3:0] q);
  always @(posedge clk or negedge rst_n)
    if (!rst_n) q <= 4'd0;
    else if (en) q <= q + 4'd1;
endmodule
"""
