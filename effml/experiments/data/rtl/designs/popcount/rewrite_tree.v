// A balanced tree for a chain of twelve additions.
module popcount(
  input [11:0] word,
  output [3:0] count,
  output odd
);
  wire [1:0] a = word[0] + word[1] + word[2];
  wire [1:0] b = word[3] + word[4] + word[5];
  wire [1:0] c = word[6] + word[7] + word[8];
  wire [1:0] d = word[9] + word[10] + word[11];
  wire [2:0] ab = a + b;
  wire [2:0] cd = c + d;
  assign count = ab + cd;
  assign odd = ^word;
endmodule
