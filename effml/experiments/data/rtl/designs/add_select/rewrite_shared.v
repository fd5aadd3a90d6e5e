// One adder behind two multiplexers for two adders before one.
module add_select(
  input sel,
  input [15:0] a,
  input [15:0] b,
  input [15:0] c,
  input [15:0] d,
  output [16:0] y
);
  wire [15:0] left = sel ? a : c;
  wire [15:0] right = sel ? b : d;
  assign y = left + right;
endmodule
