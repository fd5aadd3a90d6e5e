"""Private inference between two parties: a network as a program, engines that run it in two processes, what it costs."""
