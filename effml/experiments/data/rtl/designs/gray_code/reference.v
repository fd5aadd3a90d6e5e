module gray_code(
  input [7:0] word,
  input decode,
  output [7:0] result
);
  wire [7:0] binary;
  genvar i;
  assign binary[7] = word[7];
  generate
    for (i = 0; i < 7; i = i + 1) begin : bits
      assign binary[i] = binary[i + 1] ^ word[i];
    end
  endgenerate
  assign result = decode ? binary : word ^ (word >> 1);
endmodule
