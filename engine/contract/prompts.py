"""The built-in test prompts: twelve kinds of music, each with lyrics of ours; two are instrumental.

They cover what a training can break: voices high and low, sung and spoken, several languages, no voice at all.
"""

from __future__ import annotations

BUILT_IN_PROMPTS: dict[str, tuple[str, str]] = {
    "pop": (
        "pop, female vocals, bright synths, punchy drums, uplifting, 118 bpm",
        """[verse]
Morning on the windowpane, coffee going cold
I wrote your name in summer dust, a story never told

[chorus]
Run with me, run with me, over every line
All the lights are turning green, everything is fine""",
    ),
    "rock": (
        "rock, male vocals, distorted electric guitar, live drums, driving bass, energetic, 140 bpm",
        """[verse]
Gravel on the bridge tonight, engine running low
Half the town is fast asleep, the other half should go

[chorus]
We are louder than the thunder
We are brighter than the rain""",
    ),
    "folk": (
        "folk, male vocals, acoustic guitar, fingerpicking, harmonica, warm, intimate, 92 bpm",
        """[verse]
My father built a wooden gate that never learned to close
It let the dogs and neighbours in, the fog, the early snows

[chorus]
So leave it open, leave it wide
There is a kettle on inside""",
    ),
    "rap": (
        "hip hop, male rap vocals, boom bap drums, vinyl crackle, jazz piano sample, 90 bpm",
        """[verse]
Step out of the station with a notebook and a plan
Corner shop is closing but he knows me, my man
Two lines on a ticket, three more on my hand
Every word I ever borrowed I gave back to the band

[chorus]
Count it in, count it out
That is what it is about""",
    ),
    "soul": (
        "soul, female vocals, electric piano, horn section, slow groove, emotional, 72 bpm",
        """[verse]
I kept the radio on low
In case you sang it in the snow

[chorus]
Oh, hold the note, hold it long
You were the reason for the song""",
    ),
    "metal": (
        "heavy metal, male vocals, double kick drums, palm muted guitars, aggressive, 160 bpm",
        """[verse]
Iron over ashes, banners over stone
Every tower answers with a thunder of its own

[chorus]
Rise, rise, the mountain is awake
Rise, rise, for everybody's sake""",
    ),
    "house": (
        "house, female vocals, four on the floor, deep bass, piano chords, club, 124 bpm",
        """[chorus]
Keep the night inside your hands
Nobody has other plans

[bridge]
Higher, higher, higher now""",
    ),
    "country": (
        "country, female vocals, steel guitar, banjo, brushed drums, storytelling, 104 bpm",
        """[verse]
There's a pickup in the clover with a pine tree growing through
And a letter on the dashboard that I never sent to you

[chorus]
Take the long way, take the low way
Any way that leads me home""",
    ),
    "mpb": (
        "MPB, bossa nova, female vocals, nylon guitar, soft percussion, Portuguese, 84 bpm",
        """[verse]
A chuva veio devagar, bateu no meu portão
Trouxe cheiro de café e a tua canção

[chorus]
Fica mais um pouco aqui
Que a noite ainda não dormi""",
    ),
    "flamenco": (
        "flamenco pop, male vocals, spanish guitar, handclaps, cajón, passionate, Spanish, 110 bpm",
        """[verse]
La luna baja descalza por la calle del molino
Y yo le cuento mis penas, y ella me enseña el camino

[chorus]
Ay, que se queme la madrugada
Que no me falte tu mirada""",
    ),
    "ambient": ("ambient, instrumental, soft pads, slow evolving, field recordings, peaceful, 60 bpm", ""),
    "orchestral": (
        "orchestral, instrumental, film score, strings, french horns, timpani, majestic, 96 bpm",
        "",
    ),
}
"""Name → (caption, lyrics); empty lyrics make an instrumental."""

LIBRARY_NAMES = ("audio", "music")
"""The names that stand for `BUILT_IN_PROMPTS`; ``true`` does too."""
