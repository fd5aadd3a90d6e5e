`timescale 1ns/1ps
module gray_code_bench;
  reg [7:0] word;
  reg decode;
  wire [7:0] result;
  reg [7:0] code;
  integer value, error;
  gray_code dut(.word(word), .decode(decode), .result(result));
  initial begin
    error = 0;
    for (value = 0; value < 256; value = value + 1) begin
      code = value ^ (value / 2);
      decode = 1'b0; word = value;
      #1 if (result !== code) begin
        error = error + 1;
        if (error <= 5) $display("binary %b: result=%b, expected %b", word, result, code);
      end
      decode = 1'b1; word = code;
      #1 if (result !== value[7:0]) begin
        error = error + 1;
        if (error <= 5) $display("Gray %b: result=%b, expected %b", word, result, value[7:0]);
      end
    end
    if (error == 0) $display("===========Your Design Passed===========");
    else $display("===========Test completed with %0d / 512 failures===========", error);
    $finish;
  end
endmodule
