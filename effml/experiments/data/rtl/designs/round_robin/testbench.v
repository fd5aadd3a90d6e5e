`timescale 1ns/1ps
module round_robin_bench;
  reg clk = 0, rst_n;
  reg [3:0] req, want;
  wire [3:0] grant;
  integer step, turn, look, found, error;
  always #5 clk = ~clk;
  round_robin dut(.clk(clk), .rst_n(rst_n), .req(req), .grant(grant));
  initial begin
    error = 0; rst_n = 0; req = 4'b1111; turn = 0;
    repeat (2) @(negedge clk);
    if (grant !== 4'd0) begin error = error + 1; $display("in reset: grant=%b, expected 0", grant); end
    rst_n = 1;
    for (step = 0; step < 600; step = step + 1) begin
      if (step > 20) req = $random & $random | (step % 50 > 40 ? 4'b1111 : 4'b0000);
      @(negedge clk);
      want = 0; found = 0;
      for (look = 0; look < 4; look = look + 1)
        if (!found && req[(turn + look) % 4]) begin
          found = 1; want = 4'd1 << ((turn + look) % 4);
        end
      if (want[0]) turn = 1;
      if (want[1]) turn = 2;
      if (want[2]) turn = 3;
      if (want[3]) turn = 0;
      if (grant !== want) begin
        error = error + 1;
        if (error <= 5) $display("step %0d req=%b: grant=%b, expected %b", step, req, grant, want);
      end
    end
    if (error == 0) $display("===========Your Design Passed===========");
    else $display("===========Test completed with %0d failures===========", error);
    $finish;
  end
endmodule
