`timescale 1ns/1ps
module small_fifo_bench;
  reg clk = 0, rst_n, push, pop;
  reg [7:0] word;
  wire [7:0] first;
  wire empty, full;
  wire [2:0] level;
  reg [7:0] queue [0:7];
  integer step, count, i, error;
  always #5 clk = ~clk;
  small_fifo dut(.clk(clk), .rst_n(rst_n), .push(push), .pop(pop), .word(word), .first(first), .empty(empty), .full(full), .level(level));
  initial begin
    error = 0; rst_n = 0; push = 0; pop = 0; word = 0; count = 0;
    repeat (2) @(negedge clk);
    rst_n = 1;
    for (step = 0; step < 800; step = step + 1) begin
      push = (step % 100 < 50) ? ($random & 3) != 0 : ($random & 3) == 0;
      pop = (step % 100 < 50) ? ($random & 3) == 0 : ($random & 3) != 0;
      word = $random;
      #1 if (level !== count || empty !== (count == 0) || full !== (count == 4) || (count > 0 && first !== queue[0])) begin
        error = error + 1;
        if (error <= 5) $display("step %0d: level=%0d empty=%b full=%b first=%h, expected %0d words, first %h", step, level, empty, full, first, count, queue[0]);
      end
      begin : cycle
        integer was;
        was = count;
        if (push && was < 4) begin queue[count] = word; count = count + 1; end
        if (pop && was > 0) begin
          for (i = 0; i < 7; i = i + 1) queue[i] = queue[i + 1];
          count = count - 1;
        end
      end
      @(negedge clk);
    end
    if (error == 0) $display("===========Your Design Passed===========");
    else $display("===========Test completed with %0d / 800 failures===========", error);
    $finish;
  end
endmodule
