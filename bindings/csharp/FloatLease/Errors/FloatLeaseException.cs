using System;

namespace FloatLease
{
    /// <summary>
    /// A call failed. <see cref="Exception.Message"/> says what happened, <see cref="Advice"/> what to do.
    /// </summary>
    public partial class FloatLeaseException : Exception
    {
        private readonly JsonValue error;

        internal FloatLeaseException(int status, string json)
            : this(json ?? Unsent(status), status)
        {
        }

        private FloatLeaseException(string json, int status) : this(status, json, JsonValue.ParseOrNull(json))
        {
        }

        private FloatLeaseException(int status, string json, JsonValue error)
            : base(error["message"].Text ?? "The call failed: " + StatusNames.Of(status) + ".")
        {
            StatusNumber = status;
            Json = json;
            this.error = error;
        }

        /// <summary>What the call came to; a number that this version does not list is possible.</summary>
        public Status Status => (Status)StatusNumber;

        /// <summary>The same as the number it is.</summary>
        public int StatusNumber { get; }

        /// <summary>The same as its name, for example "FLOATING_NOT_AVAILABLE".</summary>
        public string Name => error["name"].Text ?? StatusNames.Of(StatusNumber);

        /// <summary>What kind of failure it is, for example "license" or "network".</summary>
        public string Category => error["category"].Text ?? "";

        /// <summary>What to do about it.</summary>
        public string Advice => error["advice"].Text ?? "";

        /// <summary>Where the request stands.</summary>
        public Outcome Outcome
        {
            get
            {
                string outcome = error["outcome"].Text;
                return outcome == "not_sent" ? Outcome.NotSent
                    : outcome == "rejected" ? Outcome.Rejected
                    : Outcome.Unknown;
            }
        }

        /// <summary>Whether the same call may succeed later.</summary>
        public bool Retryable => error["retryable"].Boolean ?? false;

        /// <summary>When the server wants the next request, if it said so.</summary>
        public TimeSpan? RetryAfter => Dates.Length(error["retry_after_ms"].Int64);

        /// <summary>The HTTP status of the last reply, if there was one.</summary>
        public int? HttpStatus => (int?)error["http_status"].Int64;

        /// <summary>The server's own code in it, for example "floating_not_available".</summary>
        public string ServerCode => error["server_code"].Text;

        /// <summary>How many requests were tried.</summary>
        public int Attempts => (int)(error["attempts"].Int64 ?? 0);

        /// <summary>How long the call took.</summary>
        public TimeSpan Elapsed => Dates.Length(error["elapsed_ms"].Int64) ?? TimeSpan.Zero;

        /// <summary>The whole error object, as the library gave it.</summary>
        public string Json { get; }

        // Functions that only prepare something give no error object.
        private static string Unsent(int status)
        {
            JsonValue error = JsonValue.NewObject();
            error["status"] = status;
            error["name"] = StatusNames.Of(status);
            error["outcome"] = "not_sent";
            switch ((Status)status)
            {
                case Status.UnknownOperation:
                    error["message"] = "There is no operation of this name.";
                    error["advice"] = "Use a name from the table in floatlease.h, for example \"borrow_license\".";
                    break;
                case Status.TooManyCalls:
                    error["message"] = "1,000 calls of this client are under way, or done and not read.";
                    error["advice"] = "Await some of them before you begin another, or call Pump if it is yours to call.";
                    break;
                case Status.Ticket:
                    error["message"] = "No such call is under way.";
                    error["advice"] = "Nothing to do if it is done: its completion tells how far it got.";
                    break;
            }
            return error.ToString();
        }
    }
}
