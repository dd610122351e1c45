#!/usr/bin/env python3
"""Another program, in another language: hears every ring and what becomes of the calls, and publishes reports of its own.

    tests/foreign.py URL LAST < reports

Each line of the reports is a routing key, a blank, and the message. What it hears it prints, one JSON object for each message, and ends with
the first one whose routing key is LAST. Needs pika.
"""

import json
import sys

import pika

HEARD = (("grandstream", "call.incoming.#"), ("cordboard.calls", "call.#"))


def main():
    url, last = sys.argv[1:]
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()

    def hear(channel, method, properties, body):
        heard = {"exchange": method.exchange, "key": method.routing_key, "type": properties.type, "body": json.loads(body)}
        print(json.dumps(heard), flush=True)
        if method.routing_key == last:
            channel.stop_consuming()

    for exchange, key in HEARD:
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, exchange, key)
        channel.basic_consume(queue, hear, auto_ack=True)
    for line in sys.stdin:
        key, message = line.rstrip("\n").split(" ", 1)
        # A message that reaches no queue is an error here.
        channel.basic_publish("grandstream", key, message.encode(), mandatory=True)
    channel.start_consuming()
    connection.close()


main()
