"""The configuration's keys: types, defaults and what they mean. Every key has a default but `flows`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    ValidationInfo,
    model_validator,
)

from forkproxy.config import values
from forkproxy.config.users import UsersFile, read_users
from forkproxy.config.values import Network, Ports
from forkproxy.connectors import Connector, Host, Instance, Registry
from forkproxy.errors import Problem
from forkproxy.flow import Flow
from forkproxy.model import Address, InbandMode, Limits, Redirects, Refresher, SrtpMode, Terms, Timers
from forkproxy.numbers import Rule

if TYPE_CHECKING:
    from forkproxy.signalling.authentication import User
    from forkproxy.signalling.tls import TlsSettings
    from forkproxy.signalling.trunks import Trunk


def _or_null(function: Callable[[object], Any]) -> PlainValidator:
    return PlainValidator(lambda value: None if value is None else function(value))


def _one_a_family(function: Callable[[object], str]) -> PlainValidator:
    """One value or a list of them, of which a peer can use one: null is none."""

    def validate(value: object) -> tuple[str, ...]:
        found = (
            ()
            if value is None
            else tuple(map(function, value if isinstance(value, list | tuple) else [value]))
        )
        families = [values.family(each) for each in found]
        if len(found) > 1 and sorted(families) != [4, 6]:
            raise ValueError("is more than one address of IPv4 and one of IPv6")
        return found

    return PlainValidator(validate)


def _resolve(path: Path | None, info: ValidationInfo) -> Path | None:
    """Relative paths start at the configuration's folder, which the loader passes as context."""
    if path is None or info.context is None:
        return path
    folder: Path = info.context["folder"]
    try:
        return folder / path.expanduser()
    except RuntimeError:  # ~nobody: `checks` says so, with the other reasons that a file cannot be read
        return path


def _users(path: Path | None, info: ValidationInfo) -> UsersFile | None:
    path = _resolve(path, info)
    return None if path is None else read_users(path)


def _users_file(value: object, info: ValidationInfo) -> UsersFile | None:
    if value is None or isinstance(value, UsersFile):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a file's name")
    return _users(Path(value), info)


def _differ(codecs: tuple[str, ...]) -> tuple[str, ...]:
    for codec in codecs:
        if codecs.count(codec) > 1:
            raise ValueError(f"has {codec} twice")
    return codecs


AudioCodec = Annotated[str, PlainValidator(values.codec)]
ListenUrl = Annotated[str, PlainValidator(values.listen_url)]
File = Annotated[Path, AfterValidator(_resolve)]
OptionalFile = Annotated[Path | None, AfterValidator(_resolve)]
Text = Annotated[str, AfterValidator(values.text), Field(min_length=1)]
Rules = tuple[Annotated[Rule, PlainValidator(values.rewrite_rule)], ...]
Secret = Annotated[SecretStr, Field(min_length=1)]


class Section(BaseModel):
    """What all parts share: unknown keys are mistakes, and nothing changes after it was read."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TlsConfig(Section):
    """Certificates for SIP over TLS. The files are read again when they change."""

    certificate: OptionalFile = None
    """Our certificate, and behind it those that lead to a known authority (PEM). `tls://` needs it."""
    key: OptionalFile = None
    """Its key, without a passphrase; null: in the same file."""
    hosts: Mapping[str, File] = {}
    """Other certificates by the name that peers ask for (SNI), each file with its key."""
    ca_file: OptionalFile = None
    """Authorities (PEM): those of servers beside the system's, those of clients instead of the system's."""
    verify: bool = True
    """Whether servers that forkproxy connects to must show a certificate for the name that was dialled."""
    client_certificates: Literal["off", "optional", "required"] = "off"
    """Whether peers that connect are asked for a certificate, and whether they must have one."""


class SipConfig(Section):
    """How SIP comes in."""

    listen: Annotated[tuple[ListenUrl, ...], Field(min_length=1)] = (
        "udp://0.0.0.0:5060",
        "tcp://0.0.0.0:5060",
    )
    """Addresses to listen at: ``udp://``, ``tcp://``, ``tls://``. Port 0 picks one."""
    advertise: Annotated[tuple[str, ...], _one_a_family(values.advertised)] = ()
    """The public host, or host:port, that peers must use when forkproxy is behind NAT; an address holds for
    peers of its family, so that there may be two."""
    nameservers: tuple[Annotated[Address, PlainValidator(values.nameserver)], ...] = ()
    """Whom to ask for names instead of the system's: addresses, with a port if that is not 53."""
    drain: Annotated[float, Field(ge=0, le=86_400)] = 30
    """Seconds that running calls may go on after SIGTERM before they are hung up."""
    pass_headers: tuple[Annotated[str, PlainValidator(values.header_pattern)], ...] = ()
    """Headers of a caller's INVITE that callees get, too: names, ``*`` for any characters."""
    refer: Literal["refuse", "pass"] = "refuse"
    """What becomes of REFER: ``refuse`` (405), or ``pass``: it goes to the other party, which acts on it."""
    session_timers: Timers = "on"
    """RFC 4028, on each leg by itself: ``off``; ``on``: asked for, and granted to callers who ask;
    ``always``: also for callers who do not."""
    session_expires: Annotated[int, Field(ge=90, le=86_400)] = 1800
    """Seconds without a refresh after which a leg ends, where we choose."""
    session_min: Annotated[int, Field(ge=90, le=86_400)] = 90
    """The least that callers may ask for; 422 under it."""
    session_refresher: Refresher = "any"
    """Who refreshes, where we choose: ``self``, ``peer``, or ``any``: the caller of each leg."""
    reliable_responses: Literal["required", "supported"] = "required"
    """Whose provisional responses are reliable (RFC 3262): of callers who require it, or of all who can."""
    redirects: Redirects = "refuse"
    """What becomes of a callee's 3xx: ``refuse``, ``follow`` (to where the trunks allow), or ``pass``."""
    tls: TlsConfig = TlsConfig()
    keep_alive: Annotated[float, Field(ge=1, le=3600)] | None = 100
    """Seconds between keep-alives on TCP and TLS connections that forkproxy opened and that carry calls."""
    strangers: Literal["refuse", "drop"] = "refuse"
    """What requests get whose address no trunk accepts: 403, or no answer."""
    source_rate: Annotated[float, Field(ge=1)] | None = 200
    """Requests a second that are read from such an address; null: all."""
    ban_after: Annotated[int, Field(ge=1)] | None = 20
    """Refusals within a minute that ban an address; null: none is banned."""
    ban_seconds: Annotated[float, Field(ge=1)] = 600
    """Seconds that a ban lasts."""
    max_calls: Annotated[int, Field(ge=1)] | None = None
    """Calls at a time; one more gets 503. null: any number."""
    max_rate: Annotated[float, Field(gt=0)] | None = None
    """Calls that come in within a second, likewise."""
    max_lag: Annotated[float, Field(ge=0.1)] | None = 1
    """Seconds that work may be late by; while it is later, new calls get 503. null: whatever it is."""
    realm: Annotated[str, PlainValidator(values.realm)] = "forkproxy"
    """What callers with a password are asked it for."""

    digest: Annotated[tuple[Literal["SHA-256", "MD5"], ...], Field(min_length=1)] = ("SHA-256", "MD5")
    """By which algorithms they may answer, the best first."""

    @property
    def limits(self) -> Limits:
        """What is taken from strangers, and how much from everybody."""
        return Limits(
            silent=self.strangers == "drop",
            source_rate=self.source_rate,
            ban_after=self.ban_after,
            ban_seconds=self.ban_seconds,
            max_calls=self.max_calls,
            max_rate=self.max_rate,
            max_lag=self.max_lag,
        )

    @model_validator(mode="after")
    def _session_times(self) -> Self:
        if self.session_expires < self.session_min:
            raise ValueError(f"session_expires is less than session_min, {self.session_min}")
        return self

    @property
    def terms(self) -> Terms:
        """What the endpoint agrees to in calls."""
        return Terms(
            timers=self.session_timers,
            expires=self.session_expires,
            min_expires=self.session_min,
            refresher=self.session_refresher,
            reliable=self.reliable_responses == "supported",
        )

    def tls_settings(self) -> TlsSettings | None:
        """The certificates as signalling wants them; None: there is none."""
        from forkproxy.signalling.tls import TlsSettings

        if self.tls.certificate is None:
            return None
        return TlsSettings(
            certificate=self.tls.certificate,
            key=self.tls.key,
            hosts=self.tls.hosts,
            ca_file=self.tls.ca_file,
            verify=self.tls.verify,
            client_certificates=self.tls.client_certificates,
        )

    @property
    def advertised_hosts(self) -> tuple[str, ...]:
        """The hosts of `advertise`, IPv6 addresses without brackets."""
        return tuple(values.host_of(each) for each in self.advertise)


class MediaConfig(Section):
    """Where the calls' audio comes in."""

    listen: Annotated[str | None, _or_null(values.ip)] = None
    """The address of the RTP sockets; ``::`` is all of both families. null: all of the families of SIP."""
    advertise: Annotated[tuple[str, ...], _one_a_family(values.public_ip)] = ()
    """The public address for RTP when forkproxy is behind NAT, or one of each family; none: as for SIP."""
    ports: Annotated[Ports, PlainValidator(values.rtp_ports)] = Ports(20_000, 29_999)
    """The range of RTP ports, from an even to an odd one. A call takes four: two legs, RTP and RTCP."""
    threads: Annotated[int, Field(ge=1, le=64)] | None = None
    """Relay threads, which the calls are spread over; null: one for each CPU that the process may use."""
    codecs: Annotated[tuple[AudioCodec, ...], Field(min_length=1), AfterValidator(_differ)] = (
        "PCMU",
        "PCMA",
        "G722",
    )
    """Codecs that a callee is offered beside the caller's, best first; the relay transcodes."""
    srtp: SrtpMode = "optional"
    """``off``: no encrypted audio. ``optional``: whoever offers keys gets encrypted audio, and an encrypted
    caller's callee is offered it. ``required``: calls without keys are refused."""
    window: Annotated[int, Field(ge=0, le=500, multiple_of=5)] = 60
    """Milliseconds that streams' frames are held back, so that overtaken packets find their place."""
    dtmf_inband: InbandMode = "off"
    """Keys in the audio itself: ``off``, ``fallback`` (of phones without telephone-event) or ``always``."""
    inactivity: Annotated[float, Field(ge=1, le=86_400)] | None = None
    """Seconds without audio from a phone after which its call is hung up; null: never."""


class TrunkConfig(Section):
    """A carrier, an office or a PBX: who may call in, and where calls to numbers go out."""

    name: Text
    """Stands in logs; each trunk has its own."""
    accept: tuple[Annotated[Network, PlainValidator(values.network)], ...] = ()
    """Addresses and networks that may call in. Nobody else may, this machine itself excepted."""
    users: Mapping[Text, Secret] = {}
    """Names and passwords: every caller must show that he is one of them; without `accept`, from anywhere."""
    users_file: Annotated[UsersFile | None, PlainValidator(_users_file)] = None
    """More of them, as `htdigest` writes them."""
    address: Annotated[str | None, _or_null(values.trunk_address)] = None
    """Where its calls go out: ``sip:host:port``, ``;transport=tcp`` if wanted."""
    numbers: tuple[Annotated[str, PlainValidator(values.number_pattern)], ...] = ()
    """Dialled numbers that take this trunk; ``*`` stands for any characters. The first match wins."""
    username: Text | None = None
    """Answers the carrier's digest challenges."""
    password: Secret | None = None
    srtp: SrtpMode | None = None
    """For its calls, in and out: ``off``, ``optional`` (keys are offered, plain audio is taken) or
    ``required``; null: as `media.srtp` says."""
    register_: Annotated[bool, Field(alias="register")] = False
    """Register with the carrier at `address`, as `user`, so that it sends calls here."""
    expires: Annotated[int, Field(ge=30, le=86_400)] = 3600
    """Seconds that a registration is asked for; it is refreshed before they are over."""
    user: Text | None = None
    """Whom we are to the carrier; null: `username`."""
    domain: Annotated[str | None, _or_null(values.advertised)] = None
    """The host of From; null: ours in calls, the carrier's in registrations."""
    health: Annotated[float, Field(ge=1, le=3600)] | None = None
    """Seconds between two OPTIONS to each address of the trunk; calls pass those over that do not answer."""
    patience: Annotated[float, Field(ge=0.5, le=32)] = 5
    """Seconds that an address of the trunk has for its first response before the next one is tried."""
    max_calls: Annotated[int, Field(ge=1)] | None = None
    """Calls at a time, in both directions; null: any number."""
    max_rate: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Calls that begin in a second, in both directions."""
    incoming: Rules = ()
    """What becomes of the numbers of calls that come in: ``00* -> +*``, the first rule that matches."""
    outgoing: Rules = ()
    """What becomes of the dialled number of calls that go out."""
    caller: Rules = ()
    """And of the caller's number."""
    trusted: bool = False
    """Its P-Asserted-Identity is believed, and it gets that of other trusted callers (RFC 3325)."""
    pass_headers: tuple[Annotated[str, PlainValidator(values.header_pattern)], ...] | None = None
    """Headers of a caller's INVITE that its callees get; null: those of `sip.pass_headers`."""
    redirects: Redirects | None = None
    """What becomes of its 3xx; null: as `sip.redirects` says."""
    caller_id: Text | None = None
    """The caller that is shown, whoever calls; null: as the flow says, otherwise the caller."""


class AccountConfig(Section):
    """The identity that streams carry and are signed with, in Twilio's form."""

    sid: Annotated[str | None, _or_null(values.account_sid)] = None
    """``AC`` and 32 hexadecimal digits; null: made up at the first start and kept."""
    auth_token: Secret | None = None
    """Signs the requests to stream consumers; null: made up at the first start and kept."""


class StreamsConfig(Section):
    """What holds for all streams."""

    ca_file: OptionalFile = None
    """Certificates (PEM) that consumers' TLS is checked against, besides the system's."""
    allow_ws: bool = False
    """Allow plain ``ws://`` streams. For a developer's own machine only: the audio travels unencrypted."""
    start_wait: Annotated[float, Field(ge=0, le=60)] = 1.0
    """Seconds that a fork-stream widget waits for its connection before the flow goes on without it."""
    buffer: Annotated[float, Field(gt=0, le=600)] = 30.0
    """Seconds of audio kept for a consumer that is slow or not yet there; older audio is dropped, counted."""
    max_tracks: Annotated[int, Field(ge=1)] | None = None
    """Tracks that a call may stream at once, Twilio's limit being 4; null: as many as it likes."""


class ApiConfig(Section):
    """Health, metrics and running calls over HTTP."""

    listen: Annotated[Address, PlainValidator(values.listen_address)] = Address("127.0.0.1", 8080)
    """The address and port of the HTTP server. It asks for no password: keep it on loopback."""


class CdrConfig(Section):
    """Where call-detail records go."""

    file: OptionalFile = None
    """One JSON object a line is appended for every call; reopened on SIGHUP. null: none are written."""


class TraceConfig(Section):
    """Where traces of single calls go."""

    folder: OptionalFile = None
    """A pcap file for each call that is traced on demand is made here; null: nothing can be traced."""


class LogConfig(Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """``debug`` also shows every SIP message."""
    format: Literal["text", "json"] = "text"
    """``text`` for people, ``json`` for machines: one object a line."""


class Config(Section):
    """A whole configuration.

    Made by `forkproxy.config.load`, or in tests with ``Config.model_validate({...})``, which loads no flows.
    """

    sip: SipConfig = SipConfig()
    media: MediaConfig = MediaConfig()
    trunks: tuple[TrunkConfig, ...] = ()
    connectors: Annotated[Mapping[str, Mapping[str, Any]], Field(repr=False)] = {}
    """Instances by name: ``type`` and the settings of that type."""
    flows: Annotated[Mapping[str, File], Field(min_length=1)]
    """Flow files: ``default``, others by the number that was called, and ``siprec`` for recorded calls."""
    account: AccountConfig = AccountConfig()
    streams: StreamsConfig = StreamsConfig()
    api: ApiConfig = ApiConfig()
    cdr: CdrConfig = CdrConfig()
    trace: TraceConfig = TraceConfig()
    log: LogConfig = LogConfig()

    _flows: dict[str, Flow] = {}
    _instances: dict[str, Instance] = {}
    _warnings: tuple[Problem, ...] = ()

    @property
    def media_listen(self) -> str:
        """Where RTP is listened for: all addresses of the families that SIP has, unless it is said."""
        if self.media.listen is not None:
            return self.media.listen
        return "::" if any("[" in url for url in self.sip.listen) else "0.0.0.0"

    @property
    def media_v6(self) -> bool | None:
        """Whether RTP is IPv6's or IPv4's; None: both."""
        return None if self.media_listen == "::" else ":" in self.media_listen

    @property
    def media_addresses(self) -> tuple[str, ...]:
        """What session descriptions name, the best first; otherwise our address on the way to the peer."""
        listened = () if self.media_listen in ("0.0.0.0", "::") else (self.media_listen,)
        return (*(self.media.advertise or self.sip.advertised_hosts), *listened)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is doubtful in the configuration and its flows, but can be used."""
        return self._warnings

    @property
    def loaded_flows(self) -> Mapping[str, Flow]:
        """The flows by the same keys as `flows`, loaded and checked."""
        return self._flows

    def flow_for(self, number: str) -> Flow | None:
        """The flow of a called number, or the default one."""
        return self._flows.get(number) or self._flows.get("default")

    @property
    def instances(self) -> Mapping[str, Instance]:
        """The connectors' instances by name, the implicit one included, with their settings checked."""
        return self._instances

    def make_connectors(self, host: Host, *, except_for: Collection[str] = ()) -> dict[str, Connector[Any]]:
        """The connectors by the names that flows use, but for those that are there already.

        Raises:
            ConfigError: some cannot start; each is named, with its line.
        """
        wanted = {name: each for name, each in self._instances.items() if name not in except_for}
        return Registry().build(wanted, host)

    def routes(self) -> tuple[Trunk, ...]:
        """The trunks as signalling wants them."""
        # Not at the top: `forkproxy check` must work where PJSIP cannot be loaded.
        from forkproxy.signalling.trunks import Trunk

        return tuple(
            Trunk(
                name=trunk.name,
                accept=trunk.accept,
                address=trunk.address,
                numbers=trunk.numbers,
                username=trunk.username,
                password=trunk.password.get_secret_value() if trunk.password else None,
                srtp=trunk.srtp,
                register=trunk.register_,
                expires=trunk.expires,
                user=trunk.user or trunk.username,
                domain=trunk.domain,
                health=trunk.health,
                patience=trunk.patience,
                max_calls=trunk.max_calls,
                max_rate=trunk.max_rate,
                incoming=trunk.incoming,
                outgoing=trunk.outgoing,
                caller=trunk.caller,
                caller_id=trunk.caller_id,
                trusted=trunk.trusted,
                pass_headers=trunk.pass_headers,
                redirects=trunk.redirects,
                users=self._users_of(trunk),
            )
            for trunk in self.trunks
        )

    def _users_of(self, trunk: TrunkConfig) -> tuple[User, ...]:
        from forkproxy.signalling.authentication import User

        plain = [User(name, trunk.name, secret.get_secret_value()) for name, secret in trunk.users.items()]
        filed = {} if trunk.users_file is None else trunk.users_file.users
        return (
            *plain,
            *(
                User(name, trunk.name, hashed=hashes)
                for (name, realm), hashes in filed.items()
                if realm == self.sip.realm
            ),
        )

    def secrets(self) -> tuple[str, ...]:
        """Passwords and tokens, those of the connectors included, for the log to hide."""
        models: list[BaseModel] = [*self.trunks, self.account]
        models += [instance.settings for instance in self._instances.values()]
        found = [value for model in models for _, value in model if isinstance(value, SecretStr)]
        found += [secret for trunk in self.trunks for secret in trunk.users.values()]
        return tuple(secret.get_secret_value() for secret in found)
