"""What runs within the sandbox's own processes: the standard library only, nothing of the rest of edge-phi.

The worker starts this folder as a package of its own, so that nothing else of the project is in the memory that every
program inherits. Who is who:

    worker      warm, forks one examiner a program, sees no program and no test
    examiner    runs the trusted tests; what they call of the solution is called in the candidate
    candidate   runs the untrusted solution, and nothing else
"""
