"""A web server of a folder's files, on this machine, that can break off or wait in the middle."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """Serves the files of `folder`; `half` sends half of each, `stall` waits in the middle."""

    def __init__(self, folder):
        owner, self.asked, self.half, self.stall = self, [], False, False
        self.waiting, self.go = threading.Event(), threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path = folder / self.path.rpartition("/")[2]
                owner.asked.append(path.name)
                if not path.is_file():
                    self.send_error(404)
                    return
                data = path.read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                middle = len(data) // 2
                self.wfile.write(data[:middle])
                if owner.stall:
                    owner.waiting.set()
                    owner.go.wait(60)
                if not owner.half:
                    self.wfile.write(data[middle:])

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *arguments: None  # the client has gone
        self.address = f"http://127.0.0.1:{self.server.server_port}/model"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.go.set()
        self.server.shutdown()
        self.server.server_close()
