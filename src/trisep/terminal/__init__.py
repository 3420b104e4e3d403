"""What stands between a shell and any command: the words that come in, the text that goes out, and signals.

    arguments.py    words → the arguments of a command; what a mistake in them is called; how help shows an option
    streams.py      standard input, output and error that take any text; errors in one line that commands no terminal
    signals.py      SIGTERM and SIGHUP as interruptions, so that half-written files are removed; what is said of them

It knows no verb.
"""
