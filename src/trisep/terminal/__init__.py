"""What stands between a shell and any command: the words that come in, the text that goes out, and signals.

    arguments.py    words that no command takes, what a mistake in them is called, and how help shows an option
    streams.py      standard input, output and error that take any text, and text that commands no terminal
    signals.py      SIGTERM and SIGHUP as interruptions, so that half-written files are removed

It knows no verb.
"""
