using System;

namespace FloatLease
{
    /// <summary>How a <see cref="Sandbox"/> begins. A property that is null is left out.</summary>
    public sealed class SandboxOptions
    {
        /// <summary>The options themselves, for a key that has no property here.</summary>
        public JsonValue Members { get; private set; } = JsonValue.NewObject();

        /// <summary>What is licensed to whom: an object, or the text of a catalogue.toml; by default the sandbox's own.</summary>
        public JsonValue Catalogue
        {
            get => Members["catalogue"];
            set => Members["catalogue"] = value;
        }

        /// <summary>true: an easy way to provoke each refusal of the API; <see cref="Sandbox.Info"/> lists them.</summary>
        public bool Presets
        {
            get => Members["presets"].Boolean ?? false;
            set => Members["presets"] = value;
        }

        /// <summary>The sandbox's time at its beginning, "2028-02-29T12:00:00Z" or "now-1h"; by default the real time.</summary>
        public string Now
        {
            get => Members["now"].Text;
            set => Members["now"] = value == null ? null : (JsonValue)value;
        }

        /// <summary>How it passes: 1 (default) is real time, 60 lets a minute pass in a second, 0 stands still.</summary>
        public double Rate
        {
            get => Members["rate"].Double ?? 1;
            set => Members["rate"] = JsonValue.Number(value);
        }

        /// <summary>A port for the control interface too, for other processes; 0 is a free one.</summary>
        public int? ControlPort
        {
            get => (int?)Members["control_port"].Int64;
            set => Members["control_port"] = value == null ? null : (JsonValue)(long)value.Value;
        }

        /// <summary>Reads options from JSON.</summary>
        /// <exception cref="FormatException">It is no JSON.</exception>
        public static SandboxOptions Parse(string json) => new SandboxOptions { Members = JsonValue.Parse(json) };
    }
}
