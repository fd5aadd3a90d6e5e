module small_fifo(
  input clk,
  input rst_n,
  input push,
  input pop,
  input [7:0] word,
  output [7:0] first,
  output empty,
  output full,
  output reg [2:0] level
);
  reg [7:0] store [0:3];
  reg [1:0] head, tail;
  wire pushed = push && !full;
  wire popped = pop && !empty;
  assign empty = level == 3'd0;
  assign full = level == 3'd4;
  assign first = store[head];
  always @(posedge clk or negedge rst_n) begin
    if (!rst_n) begin
      head <= 2'd0;
      tail <= 2'd0;
      level <= 3'd0;
    end else begin
      if (pushed) tail <= tail + 2'd1;
      if (popped) head <= head + 2'd1;
      level <= level + {2'd0, pushed} - {2'd0, popped};
    end
  end
  always @(posedge clk) if (pushed) store[tail] <= word;
endmodule
