`timescale 1ns/1ps
module uart_send_bench;
  reg clk = 0, rst, load;
  reg [7:0] data, sent;
  wire line, busy;
  reg [9:0] frame;
  integer word, cycle, error;
  always #5 clk = ~clk;
  uart_send dut(.clk(clk), .rst(rst), .load(load), .data(data), .line(line), .busy(busy));
  task expected(input want_line, input want_busy);
    if (line !== want_line || busy !== want_busy) begin
      error = error + 1;
      if (error <= 5) $display("word %0d cycle %0d: line=%b busy=%b, expected %b %b", word, cycle, line, busy, want_line, want_busy);
    end
  endtask
  initial begin
    error = 0; rst = 1; load = 0; data = 0; word = 0; cycle = 0;
    repeat (2) @(negedge clk);
    rst = 0;
    @(negedge clk) expected(1'b1, 1'b0);
    for (word = 0; word < 20; word = word + 1) begin
      sent = $random; data = sent; load = 1;
      frame = {1'b1, sent, 1'b0};
      for (cycle = 0; cycle < 40; cycle = cycle + 1) begin
        @(negedge clk) expected(frame[cycle / 4], 1'b1);
        load = $random; data = $random;
      end
      load = 0;
      @(negedge clk) expected(1'b1, 1'b0);
      if (word % 2) repeat (3) @(negedge clk) expected(1'b1, 1'b0);
    end
    data = 8'h00; load = 1;
    repeat (10) @(negedge clk);
    rst = 1;
    @(negedge clk) expected(1'b1, 1'b0);
    if (error == 0) $display("===========Your Design Passed===========");
    else $display("===========Test completed with %0d failures===========", error);
    $finish;
  end
endmodule
