module crc8(
  input clk,
  input rst_n,
  input clear,
  input valid,
  input data,
  output reg [7:0] crc
);
  wire feedback = crc[7] ^ data;
  always @(posedge clk or negedge rst_n) begin
    if (!rst_n) crc <= 8'd0;
    else if (clear) crc <= 8'd0;
    else if (valid) crc <= {crc[6:0], 1'b0} ^ (feedback ? 8'h07 : 8'h00);
  end
endmodule
