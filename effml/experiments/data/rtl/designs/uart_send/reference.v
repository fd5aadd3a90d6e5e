module uart_send(
  input clk,
  input rst,
  input load,
  input [7:0] data,
  output reg line,
  output reg busy
);
  reg [8:0] left;
  reg [3:0] bits;
  reg [1:0] phase;
  always @(posedge clk) begin
    if (rst) begin
      line <= 1'b1;
      busy <= 1'b0;
      phase <= 2'd0;
      bits <= 4'd0;
      left <= 9'd0;
    end else if (!busy) begin
      if (load) begin
        left <= {1'b1, data};
        bits <= 4'd9;
        phase <= 2'd0;
        busy <= 1'b1;
        line <= 1'b0;
      end
    end else if (phase != 2'd3) phase <= phase + 2'd1;
    else if (bits == 4'd0) busy <= 1'b0;
    else begin
      phase <= 2'd0;
      bits <= bits - 4'd1;
      line <= left[0];
      left <= {1'b1, left[8:1]};
    end
  end
endmodule
