`timescale 1ns/1ps
module crc8_bench;
  reg clk = 0, rst_n, clear, valid, data;
  wire [7:0] crc;
  reg [7:0] want;
  integer step, error;
  always #5 clk = ~clk;
  crc8 dut(.clk(clk), .rst_n(rst_n), .clear(clear), .valid(valid), .data(data), .crc(crc));
  initial begin
    error = 0; rst_n = 0; clear = 0; valid = 0; data = 0; want = 0;
    repeat (2) @(negedge clk);
    rst_n = 1;
    // The check value of this CRC: 0xf4 after the nine characters 1 to 9.
    for (step = 71; step >= 0; step = step - 1) begin
      valid = 1; data = ("123456789" >> step);
      @(negedge clk);
    end
    if (crc !== 8'hf4) begin error = error + 1; $display("check value: crc=%h, expected f4", crc); end
    #2 rst_n = 0;
    #1 if (crc !== 8'h00) begin error = error + 1; $display("reset: crc=%h before the next clock edge, expected 00", crc); end
    rst_n = 1; valid = 0;
    @(negedge clk);
    want = 0;
    for (step = 0; step < 400; step = step + 1) begin
      clear = ($random & 15) == 0; valid = $random; data = $random;
      @(negedge clk);
      if (clear) want = 0;
      else if (valid) begin
        if (want[7] ^ data) want = (want << 1) ^ 8'd7; else want = want << 1;
      end
      if (crc !== want) begin
        error = error + 1;
        if (error <= 5) $display("step %0d clear=%b valid=%b data=%b: crc=%h, expected %h", step, clear, valid, data, crc, want);
        want = crc;
      end
    end
    if (error == 0) $display("===========Your Design Passed===========");
    else $display("===========Test completed with %0d failures===========", error);
    $finish;
  end
endmodule
