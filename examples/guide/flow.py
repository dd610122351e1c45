#!/usr/bin/env python3
"""A program of others goes through everything that Cordboard promises to such programs: it sends the
events of phones, and reads queues, keys and tables by their documented names.

    examples/guide/flow.py --gateway URL --redis URL --database URL (--broker URL | --ingress URL)

The database is postgresql://.. or sqlite:PATH. With --broker the events are published as plain
messages, and read from a queue of this program; with --ingress they are sent as a phone does.
--prefix is `live.prefix` of the service. It registers calls and ends them; use it where no other
calls matter. Needs redis, with PostgreSQL psycopg, and with --broker pika (Debian: python3-redis,
python3-psycopg, python3-pika).
"""

import argparse
import json
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

import redis

# The longest wait for anything that the service does.
PATIENCE_SECONDS = 20
PAUSE_SECONDS = 0.02

MAC = "000b82000001"
EXTENSION = "203"


class Database:
    """Reads the tables and views of either database."""

    def __init__(self, url):
        if url.startswith("sqlite:"):
            path = url.removeprefix("sqlite:")
            self.connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            self.mark = "?"
        else:
            import psycopg

            self.connection = psycopg.connect(url, autocommit=True)
            self.mark = "%s"

    def row(self, select, value):
        cursor = self.connection.cursor()
        cursor.execute(select.replace("?", self.mark), (value,))
        return cursor.fetchone()


class Phones:
    """Sends events as an ingress takes them from phones."""

    def __init__(self, ingress):
        self.ingress = ingress

    def send(self, event, remote, call_ref):
        parameters = {"mac": MAC, "local": EXTENSION, "remote": remote, "callId": call_ref}
        target = f"{self.ingress}/gs/cti/{event}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(target, timeout=PATIENCE_SECONDS) as answer:
            assert answer.status == 200, answer.status

    def close(self):
        pass


class Broker:
    """Publishes events as plain messages, and hears every report with a queue of its own."""

    def __init__(self, url):
        import pika

        self.pika = pika
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        self.queue = self.channel.queue_declare("", exclusive=True).method.queue
        for key in ("call.incoming", "call.*"):
            self.channel.queue_bind(self.queue, "grandstream", key)

    def send(self, event, remote, call_ref):
        message = {
            "call_id": call_ref,
            "remote": remote,
            "local": EXTENSION,
            "mac": MAC,
            "status": event,
            "timestamp": time.time(),
        }
        self.channel.basic_publish(
            "grandstream",
            f"call.{event}",
            json.dumps(message).encode(),
            self.pika.BasicProperties(delivery_mode=2, message_id=str(uuid.uuid4())),
            mandatory=True,
        )
        self.hear(message)

    def hear(self, sent):
        """Each report comes to this queue once, although two bindings match it."""
        found = []

        def look():
            method, _, body = self.channel.basic_get(self.queue, auto_ack=True)
            if method:
                found.append(json.loads(body))
            return found

        until(f"the report {sent['status']} in the queue", look)
        assert len(found) == 1, found
        for field in ("call_id", "remote", "local", "mac", "status"):
            assert found[0][field] == sent[field], (field, found[0])
        assert isinstance(found[0]["timestamp"], float), found[0]

    def close(self):
        method, _, body = self.channel.basic_get(self.queue, auto_ack=True)
        assert method is None, f"a report came twice: {body}"
        self.connection.close()


class Gateway:
    """The REST API."""

    def __init__(self, url):
        self.url = url

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data, method=method)
        request.add_header("content-type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=70) as answer:
                body = answer.read()
                return answer.status, json.loads(body) if body else None
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


def until(awaited, look):
    """Looks until there is something."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(PAUSE_SECONDS)
    sys.exit(f"not within {PATIENCE_SECONDS} s: {awaited}")


def passed(step):
    print(f"ok  {step}", flush=True)


class Guide:
    def __init__(self, arguments):
        self.redis = redis.Redis.from_url(arguments.redis, decode_responses=True)
        self.database = Database(arguments.database)
        self.gateway = Gateway(arguments.gateway)
        self.prefix = arguments.prefix
        self.phones = Broker(arguments.broker) if arguments.broker else Phones(arguments.ingress)

    def key(self, name):
        return self.prefix + name

    def answered_call(self):
        """A call that is answered: keys of the call while it goes on, tables when it is over."""
        remote = f"+4930{uuid.uuid4().int % 10**7:07}"
        ref = uuid.uuid4().hex
        self.phones.send("incoming", remote, ref)
        active = until(
            "calls:active with the call",
            lambda: self.redis.hgetall(self.key(f"calls:active:{remote}")),
        )
        call = active["claimed_call_id"]
        assert active["answered"] == "false", active
        assert active["call_ref"] == ref, active
        assert abs(float(active["timestamp"]) - time.time()) < 60, active
        passed("calls:active:{remote} has the claim of a call that rings")

        reported = until(
            "calls:device_reported",
            lambda: self.redis.get(self.key(f"calls:device_reported:{MAC}:{remote}")),
        )
        assert reported == "1", reported
        for name in (f"calls:ring:{call}", f"calls:ring_remote:{remote}"):
            rang = until(name, lambda name=name: self.redis.get(self.key(name)))
            assert abs(float(rang) - time.time()) < 60, rang
        assert self.redis.get(self.key(f"call:direction:{call}")) == "in"
        assert self.redis.sismember(self.key("active_calls"), call)
        passed("device_reported, ring, ring_remote, direction and active_calls have it too")

        state = self.call_state(call, "ringing")
        assert state["provider"] == "grandstream" and state["from_number"] == remote, state
        self.phones.send("answered", remote, ref)
        until(
            "the answer in calls:active",
            lambda: self.redis.hget(self.key(f"calls:active:{remote}"), "answered") == "true",
        )
        self.call_state(call, "answered")
        passed("answered: calls:active and call_states")

        self.phones.send("hangup", remote, ref)
        until(
            "the end of calls:active",
            lambda: not self.redis.exists(self.key(f"calls:active:{remote}")),
        )
        state = self.call_state(call, "completed")
        assert state["call_metadata"]["answered_by"]["extension"] == EXTENSION, state
        assert not self.redis.sismember(self.key("active_calls"), call)
        log = self.database.row(
            "SELECT outcome, answered_by, talk_us FROM call_logs WHERE call_id = ?", call
        )
        assert log[:2] == ("answered", EXTENSION) and log[2] >= 0, log
        statistics = self.database.row(
            "SELECT sum(answered) FROM call_stats WHERE direction = ?", "inbound"
        )
        assert statistics[0] >= 1, statistics
        passed("over: call_states, call_logs and call_stats")

        fingerprint = until(
            "the fingerprint of the call",
            lambda: self.redis.get(self.key(f"calls:transfer:{remote}")),
        )
        assert json.loads(fingerprint)["call_id"] == call, fingerprint
        assert self.redis.zcard(self.key("calls:transfers")) >= 1
        passed("calls:transfers has the fingerprint of the call")
        self.stream_of(call, ["call_started", "call_answered", "call_ended"])

    def missed_call(self):
        """A call that nobody answers."""
        remote = f"+4930{uuid.uuid4().int % 10**7:07}"
        ref = uuid.uuid4().hex
        self.phones.send("incoming", remote, ref)
        self.phones.send("missed", remote, ref)
        active = until(
            "calls:active with the call",
            lambda: self.redis.hgetall(self.key(f"calls:active:{remote}")),
        )
        call = active["claimed_call_id"]
        until(
            "the call in calls:missed:schedule",
            lambda: self.redis.zscore(self.key("calls:missed:schedule"), call),
        )
        queue = self.redis.lrange(self.key("calls:missed:queue"), 0, -1)
        assert call in queue, queue
        passed("calls:missed:schedule and calls:missed:queue have the pending decision")

        missed = until(
            "the row of the missed call",
            lambda: self.database.row(
                "SELECT from_number FROM missed_call_logs WHERE call_id = ?", call
            ),
        )
        assert missed[0] == remote, missed
        # Redis follows the commit.
        until(
            "nothing pending in calls:missed:schedule",
            lambda: self.redis.zscore(self.key("calls:missed:schedule"), call) is None,
        )
        passed("decided: missed_call_logs, and nothing is pending")

    def registered_call(self):
        """A call of this program, with a session."""
        call, session = f"own-{uuid.uuid4()}", f"session-{uuid.uuid4()}"
        new = {
            "call_id": call,
            "session_id": session,
            "provider": "guide",
            "from": "+4930555",
            "metadata": {"tenant": 7},
        }
        assert self.gateway.ask("POST", "/call-states", new)[0] == 201
        state = json.loads(self.redis.get(self.key(f"call:state:{call}")))
        assert state["provider"] == "guide" and state["metadata"] == {"tenant": 7}, state
        assert json.loads(self.redis.get(self.key(f"call:session:{session}"))) == call
        assert self.redis.sismember(self.key("active_calls"), call)
        passed("a registered call is in call:state, call:session and active_calls")

        change = {"status": "answered", "metadata": {"step": 2}}
        assert self.gateway.ask("PATCH", f"/call-states/{call}", change)[0] == 200
        state = self.call_state(call, "answered")
        assert state["session_id"] == session, state
        assert state["call_metadata"] == {"tenant": 7, "step": 2}, state
        found = self.gateway.ask("GET", f"/call-states?session={session}")[1]
        assert found["call_id"] == call, found
        assert self.gateway.ask("POST", "/call-states/recover", {})[0] == 200
        passed("call_states has its metadata and session, and the session finds it")

        event = {"call_id": call, "event_type": "intent_detected", "data": {"intent": "order"}}
        assert self.gateway.ask("POST", "/call-events", event)[0] == 201
        self.stream_of(call, ["intent_detected"])
        assert self.gateway.ask("POST", f"/call-states/{call}/end", {})[0] == 200
        self.call_state(call, "completed")
        assert not self.redis.sismember(self.key("active_calls"), call)
        assert self.gateway.ask("DELETE", f"/call-states/sessions/{session}")[0] == 204
        assert not self.redis.exists(self.key(f"call:session:{session}"))
        passed("it ends, and its session is parted from it")

    def transfer(self):
        """A transfer that this program registers and waits for, decided by its event."""
        call, transfer = f"own-{uuid.uuid4()}", f"transfer-{uuid.uuid4()}"
        assert self.gateway.ask("POST", "/call-states", {"call_id": call})[0] == 201
        channel = self.redis.pubsub()
        channel.subscribe(self.key(f"transfer:events:{transfer}"))
        new = {"transfer_id": transfer, "original_call_sid": call, "target_number": "204", "x": 1}
        assert self.gateway.ask("POST", "/transfers", new)[0] == 201
        context = json.loads(self.redis.get(self.key(f"transfer:context:{transfer}")))
        assert context["target_number"] == "204" and context["x"] == 1, context
        assert isinstance(context["initiated_at"], float), context
        assert self.redis.get(self.key(f"transfer:by_call_sid:{call}")) == transfer
        second = {"original_call_sid": call, "target_number": "205"}
        status, refused = self.gateway.ask("POST", "/transfers", second)
        assert (status, refused["transfer_id"]) == (409, transfer), refused
        passed("transfer:context and transfer:by_call_sid have the transfer; a second is refused")

        results = []
        path = f"/transfers/{transfer}/result?seconds=30"
        waiting = threading.Thread(target=lambda: results.append(self.gateway.ask("GET", path)))
        waiting.start()
        event = {"type": "destination_answered", "transfer_call_sid": "leg-2", "unknown": [1]}
        assert self.gateway.ask("POST", f"/transfers/{transfer}/events", event)[0] == 200
        waiting.join(PATIENCE_SECONDS)
        assert results and results[0][1]["result"]["status"] == "success", results
        assert results[0][1]["event"]["unknown"] == [1], results

        def heard():
            message = channel.get_message(ignore_subscribe_messages=True, timeout=0.1)
            return message and json.loads(message["data"])

        published = until("the event on its channel", heard)
        assert published["type"] == "destination_answered", published
        assert not self.redis.exists(self.key(f"transfer:context:{transfer}"))
        assert not self.redis.exists(self.key(f"transfer:by_call_sid:{call}"))
        assert self.gateway.ask("POST", f"/call-states/{call}/end", {})[0] == 200
        passed("the waiting program has the result, its channel the event, and the keys are gone")

    def call_state(self, call, status):
        """The row of a call in the view `call_states`, once it has a status."""
        names = (
            "session_id, provider, direction, status, from_number, to_number, call_metadata, "
            "created_at, updated_at, ended_at"
        )

        def look():
            row = self.database.row(f"SELECT {names} FROM call_states WHERE call_id = ?", call)
            return row if row and row[3] == status else None

        row = until(f"{status} in call_states", look)
        state = dict(zip(names.split(", "), row))
        metadata = state["call_metadata"]
        state["call_metadata"] = metadata if isinstance(metadata, dict) else json.loads(metadata)
        assert (state["ended_at"] is not None) == (status == "completed"), state
        return state

    def stream_of(self, call, types):
        """The events of a call in the log of its day."""

        def look():
            day = time.strftime("%Y-%m-%d", time.gmtime())
            entries = self.redis.xrange(self.key(f"call-events:provider:default:{day}"))
            found = [fields for _, fields in entries if fields["callSid"] == call]
            return found if [fields["eventType"] for fields in found] == types else None

        entries = until(f"{types} in the log of the day", look)
        for fields in entries:
            assert fields["providerId"] == "default" and fields["timestamp"], fields
            json.loads(fields["data"])
        passed(f"call-events:provider has {', '.join(types)}")


def main():
    parser = argparse.ArgumentParser()
    for name in ("gateway", "redis", "database"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--prefix", default="")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--broker")
    way.add_argument("--ingress")
    guide = Guide(parser.parse_args())

    guide.answered_call()
    guide.missed_call()
    guide.registered_call()
    guide.transfer()
    guide.phones.close()
    print("everything is as it is documented", flush=True)


main()
