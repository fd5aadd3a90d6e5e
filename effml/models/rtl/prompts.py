"""What a model is told: the specification, the tools' words after a failure, the figures before a rewrite.

Four worked examples of different kinds (a multiplexer, an adder, a counter, a state machine) go before the first
request, as in VeriPPA's in-context learning; none of them is a problem of any set here.
"""

from __future__ import annotations

from effml.models.llm import Message, assistant, system, user
from effml.models.rtl.refine import State, Task

RULES = (
    "You are a digital design engineer. You answer with one fenced block of synthesisable Verilog-2001 that defines the "
    "module asked for, with exactly the ports asked for, and any module it uses. No testbench, no `include, no file access."
)

EXAMPLES = (
    (
        "Module mux4: select one of four 8-bit inputs d0, d1, d2, d3 by the 2-bit input sel; output y[7:0].",
        """module mux4(input [7:0] d0, input [7:0] d1, input [7:0] d2, input [7:0] d3, input [1:0] sel, output reg [7:0] y);
  always @* begin
    case (sel)
      2'd0: y = d0;
      2'd1: y = d1;
      2'd2: y = d2;
      default: y = d3;
    endcase
  end
endmodule""",
    ),
    (
        "Module add6: add the 6-bit inputs a and b and the carry cin; outputs sum[5:0] and cout.",
        """module add6(input [5:0] a, input [5:0] b, input cin, output [5:0] sum, output cout);
  assign {cout, sum} = a + b + cin;
endmodule""",
    ),
    (
        "Module count6: a counter of 6 states (0 to 5) on the rising edge of clk, reset to 0 by rst_n low, counting while en "
        "is high; outputs q[2:0] and last, high while q is 5.",
        """module count6(input clk, input rst_n, input en, output reg [2:0] q, output last);
  assign last = (q == 3'd5);
  always @(posedge clk or negedge rst_n) begin
    if (!rst_n) q <= 3'd0;
    else if (en) q <= last ? 3'd0 : q + 3'd1;
  end
endmodule""",
    ),
    (
        "Module lock: a state machine on the rising edge of clk with synchronous reset rst that raises open for one cycle "
        "after the bits 1, 0, 1 came in on b in this order; overlapping sequences count.",
        """module lock(input clk, input rst, input b, output reg open);
  reg [1:0] state;
  always @(posedge clk) begin
    if (rst) begin
      state <= 2'd0;
      open <= 1'b0;
    end else begin
      open <= (state == 2'd2) && b;
      case (state)
        2'd0: state <= b ? 2'd1 : 2'd0;
        2'd1: state <= b ? 2'd1 : 2'd2;
        default: state <= b ? 2'd1 : 2'd0;
      endcase
    end
  end
endmodule""",
    ),
)

HINTS = {
    "area": "Share operators between branches, factor common terms, drop registers and logic that nothing needs.",
    "delay": "Balance long chains, compute alternatives in parallel and select late, shorten the path between registers.",
    "power": "Keep operands still when a result is not used, share operators, drop registers that nothing needs.",
}


def messages(task: Task, shots: int = 0) -> list[Message]:
    """The conversation that asks for what the task says.

    Args:
        shots: worked examples before it, 0 to 4.
    """
    said = [system(RULES)]
    for description, code in EXAMPLES[:shots]:
        said += [user(description), assistant(f"```verilog\n{code}\n```")]
    said.append(user(task.problem.specification.strip() + f"\n\nThe module's name is {task.problem.top}."))
    if task.kind is State.GENERATE:
        return said
    said.append(assistant(f"```verilog\n{task.design.strip()}\n```"))
    if task.kind is State.REWRITE:
        assert task.goal is not None
        said.append(
            user(
                f"The design is right. {task.said}\nRewrite it for lower {task.goal.metric}. {HINTS[task.goal.metric]} Keep the "
                "ports and the cycle in which each output changes exactly as they are: the rewrite is checked for "
                "equivalence and synthesised by the same script. Answer with the whole design."
            )
        )
    else:
        said.append(user(f"{task.said}\nCorrect the design. Answer with the whole of it."))
    return said
