module two_products(
  input [5:0] a,
  input [4:0] b,
  input [4:0] c,
  output [11:0] y
);
  assign y = a * b + a * c;
endmodule
