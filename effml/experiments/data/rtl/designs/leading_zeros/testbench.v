`timescale 1ns/1ps
module leading_zeros_bench;
  reg [15:0] word;
  wire [4:0] count;
  wire none;
  integer place, trial, error;
  leading_zeros dut(.word(word), .count(count), .none(none));
  initial begin
    error = 0;
    word = 16'd0;
    #1 if (count !== 5'd16 || none !== 1'b1) begin
      error = error + 1;
      $display("word=0: count=%0d none=%b, expected 16 and 1", count, none);
    end
    for (place = 0; place < 16; place = place + 1)
      for (trial = 0; trial < 8; trial = trial + 1) begin
        word = ($random & ((16'd1 << place) - 16'd1)) | (16'd1 << place);
        #1 if (count !== 15 - place || none !== 1'b0) begin
          error = error + 1;
          if (error <= 5) $display("word=%b: count=%0d none=%b, expected %0d and 0", word, count, none, 15 - place);
        end
      end
    if (error == 0) $display("===========Your Design Passed===========");
    else $display("===========Test completed with %0d failures===========", error);
    $finish;
  end
endmodule
