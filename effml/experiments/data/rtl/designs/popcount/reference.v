module popcount(
  input [11:0] word,
  output reg [3:0] count,
  output odd
);
  integer i;
  always @* begin
    count = 4'd0;
    for (i = 0; i < 12; i = i + 1) count = count + {3'd0, word[i]};
  end
  assign odd = count[0];
endmodule
