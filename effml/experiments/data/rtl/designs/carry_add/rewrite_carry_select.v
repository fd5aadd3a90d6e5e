// The upper half for both carries, the right one chosen late.
module carry_add(
  input [15:0] a,
  input [15:0] b,
  input cin,
  output [15:0] sum,
  output cout
);
  wire middle;
  wire [8:0] without = a[15:8] + b[15:8];
  wire [8:0] with_carry = a[15:8] + b[15:8] + 9'd1;
  assign {middle, sum[7:0]} = a[7:0] + b[7:0] + cin;
  assign {cout, sum[15:8]} = middle ? with_carry : without;
endmodule
