"""What the clients for Python share: an HTTP client gives lines, and these are events."""
import json
import sys

PAUSE = 0.5  # seconds before it reconnects

url = sys.argv[1]


class Stream:
    """The events of a stream, over any number of connections."""

    def __init__(self):
        self.last = None
        self.event = {}

    def headers(self):
        """Headers of the next connection. What the last one left unfinished is forgotten."""
        self.event = {}
        return {'Last-Event-ID': self.last} if self.last else {}

    def read(self, line):
        """Takes a line without its end. Returns the data of an event that it completes."""
        if line:
            field, _, value = line.partition(':')
            value = value.removeprefix(' ')
            again = field == 'data' and field in self.event
            self.event[field] = f'{self.event[field]}\n{value}' if again else value
            return None
        event, self.event = self.event, {}
        if 'data' not in event:
            return None
        self.last = event.get('id', self.last)
        print(json.dumps({'event': event.get('event', ''), 'data': event['data']}), flush=True)
        return event['data']
