module saturating_add(
  input signed [7:0] a,
  input signed [7:0] b,
  output reg signed [7:0] sum,
  output saturated
);
  wire signed [8:0] wide = a + b;
  assign saturated = wide[8] != wide[7];
  always @* begin
    if (!saturated) sum = wide[7:0];
    else if (wide[8]) sum = 8'h80;
    else sum = 8'h7f;
  end
endmodule
