#!/usr/bin/env python3
"""Prints the events of calls that Cordboard publishes to RabbitMQ, one line per event.

    examples/listen.py URL [MESSAGES]

URL is an AMQP address such as amqp://user:password@broker:5672/cordboard. With MESSAGES the program
ends after so many events. Needs pika (Debian: python3-pika).
"""

import json
import sys
from itertools import islice

import pika

EXCHANGE = "cordboard.calls"
BINDING = "call.#"
# Unacknowledged messages that RabbitMQ hands out in advance.
PREFETCH = 100


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: listen.py URL [MESSAGES]")
    url = sys.argv[1]
    messages = int(sys.argv[2]) if len(sys.argv) == 3 else None

    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=PREFETCH)

    # The queue lives as long as this connection. A program that must not miss events while it is
    # away declares a durable queue with a name of its own instead.
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, EXCHANGE, BINDING)
    print(f"listening to {BINDING} on {EXCHANGE}", file=sys.stderr, flush=True)

    for method, properties, body in islice(channel.consume(queue), messages):
        print(describe(method.routing_key, properties.message_id, json.loads(body)), flush=True)
        # Acknowledged after it is handled: a crash before this line delivers the event again, under
        # the same message id.
        channel.basic_ack(method.delivery_tag)

    connection.close()


def describe(event, message_id, data):
    """The event in one line. `call` is null after `call.withdrawn`: it was part of another call."""
    call = data["call"]
    if call is None:
        return f"{event} {message_id} call={data['call_id']}"

    caller = call["from"]["number"] or "anonymous"
    callee = call["to"]["number"] or "unknown"
    return (
        f"{event} {message_id} call={data['call_id']} site={call['site']} "
        f"{call['direction']} {caller} -> {callee} status={call['status']}"
    )


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
