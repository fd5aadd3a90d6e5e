// The three taps spelled out.
module crc8(
  input clk,
  input rst_n,
  input clear,
  input valid,
  input data,
  output reg [7:0] crc
);
  wire f = crc[7] ^ data;
  always @(posedge clk or negedge rst_n) begin
    if (!rst_n) crc <= 8'd0;
    else if (clear) crc <= 8'd0;
    else if (valid) crc <= {crc[6:2], crc[1] ^ f, crc[0] ^ f, f};
  end
endmodule
