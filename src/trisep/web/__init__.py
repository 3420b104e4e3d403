"""The local page of `trisep web`: a video is dropped, sounds are asked for, stems are played together and saved.

    settings.py   what the command line chooses: place, model, limits
    serve.py      starts the server, prints its address, and removes every file at the end
    app.py        the routes: what a request does
    guard.py      who may ask: host, origin and token; the headers of every answer
    uploads.py    bodies of requests, streamed to disk within limits
    sessions.py   one session per file that was dropped: its folder, stems and exports, and when they are removed
    lane.py       a queue of jobs and the process that does them; a crash there fails one job
    worker.py     that process: a line of JSON in, lines of JSON out
    tasks.py      what it does: read a file, separate a query, find it in the picture, write exports
    page/         HTML, CSS and ES modules, served as they are

The server holds no sound and no model; both live in the processes of two lanes.
"""
