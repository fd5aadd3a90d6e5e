"""Graph of Thoughts and the ways of prompting it is measured against (Lei et al., arXiv 2308.08614).

    task        what a task tells the search: nodes (propositions), moves between them, exact judges
    game24, polynomial, sequence   the three tasks; `problems` generates the latter two
    expression, quadratic, closed_form   reading a model's arithmetic without evaluating it
    graph, search, checker   the AND/OR graph, the bounded worklist over it, who decides what enters it
    sampling, tot   IO, CoT, CoT-SC, checked CoT; Tree of Thoughts as published
    prompts, asking   in which words, within which budget
    export      JSON, DOT, Mermaid, networkx, text
    tiny        a small GPT trained here on the three tasks, as a back end of the language-model port

A method has a `name` and `async solve(ask: Asker) -> Outcome`; all of them ask through the same port and meter.
"""
