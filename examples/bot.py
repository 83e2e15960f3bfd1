"""Answers !ping in a room with pong: python3 bot.py [http://localhost:3000 [room]]"""
import hmac
import http.client
import json
import secrets
import sys
import time
from urllib.parse import urlencode
from urllib.request import urlopen

site, room = (sys.argv[1:] + ['http://localhost:3000', 'lobby'][len(sys.argv) - 1:])[:2]
secret = secrets.token_bytes(16)
last = ''  # the id of the last event that was handled


def nonce_for(id):
    """The same for every attempt to answer a message, and impossible to guess."""
    return hmac.new(secret, id.encode(), 'sha256').hexdigest()[:32]


def update(message):
    """Publishes a message. It raises an OSError unless the server has stored it."""
    urlopen(f'{site}/update?{urlencode({"room": room})}', json.dumps(message).encode(), timeout=30).close()


def read():
    """Reads one stream until it ends."""
    global last
    query = urlencode({'events': 1, 'name': 'bot', 'room': room, 'last_event_id': last})
    with urlopen(f'{site}/subscribe?{query}', timeout=60) as stream:  # there is a ping every 15 s
        if stream.status == 204:
            sys.exit('the bot was kicked')
        event, id = '', last
        for line in stream:
            field, _, value = line.decode().rstrip('\n').partition(': ')
            if field == '':
                event = ''
            elif field == 'event':
                event = value
            elif field == 'id':
                id = value
            elif field == 'data':
                # messages have no event name
                if event == '' and json.loads(value).get('text') == '!ping':
                    update({'text': 'pong', 'name': 'bot', 'nonce': nonce_for(id)})
                last = id


while True:
    try:
        read()
    except (OSError, http.client.HTTPException, ValueError):
        pass  # the server or the network is down, maybe in the middle of a line
    time.sleep(1)  # and read again what comes after the last event that was handled
