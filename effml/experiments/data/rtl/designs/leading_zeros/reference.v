module leading_zeros(
  input [15:0] word,
  output reg [4:0] count,
  output none
);
  integer i;
  always @* begin
    count = 5'd16;
    for (i = 0; i < 16; i = i + 1)
      if (word[i]) count = 5'd15 - i[4:0];
  end
  assign none = ~|word;
endmodule
