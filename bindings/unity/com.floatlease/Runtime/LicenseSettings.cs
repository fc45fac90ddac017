using System;
using System.IO;
using UnityEngine;

namespace FloatLease.Unity
{
    /// <summary>Which license the game wants, as the Inspector shows it.</summary>
    /// <remarks>
    /// What stands here is in the player for whoever looks. A license key that the user types in need not be: give it to
    /// <see cref="LicenseManager.Acquire(ClientConfig, LeaseRequest)"/> in a config of <see cref="ToConfig"/>.
    /// </remarks>
    [Serializable]
    public sealed class LicenseSettings
    {
        /// <summary>The product's short code.</summary>
        [Tooltip("The product's short code.")]
        public string product = "";

        /// <summary>The key of the vendor's account, and</summary>
        public string apiKey = "";

        /// <summary>what signs requests under it.</summary>
        public string sharedKey = "";

        /// <summary>The license, if it is known before the user types it in.</summary>
        [Tooltip("Leave it empty if the user types it in.")]
        public string licenseKey = "";

        /// <summary>The server; empty: the vendor's cloud.</summary>
        [Tooltip("Empty: the vendor's cloud.")]
        public string baseUrl = "";

        /// <summary>What proves the replies of any other server.</summary>
        [Tooltip("PEM. Needed for every server but the vendor's cloud."), TextArea]
        public string publicKey = "";

        /// <summary>The features to hold, all of them or none; empty: the license's own slot.</summary>
        [Tooltip("All of them or none. Empty: the license's own slot.")]
        public string[] features = new string[0];

        /// <summary>How long to queue while every slot is taken.</summary>
        [Tooltip("How long to queue while every slot is taken."), Min(0)]
        public int waitSeconds = 60;

        /// <summary>How long the game may run on when the slot is no longer surely its own.</summary>
        [Tooltip("How long the game may run on when the slot is no longer surely its own."), Min(0)]
        public int graceSeconds = 300;

        /// <summary>
        /// Whether the game's folder remembers what it holds. So a second copy on this machine shares the slot, the
        /// start after a crash settles it, and a script that changes in Play mode does not lose it.
        /// </summary>
        [Tooltip("Remember in the game's folder what is held: for a second copy, for the start after a crash.")]
        public bool keepOnDisk = true;

        /// <summary>A config of these. On the main thread only: it asks Unity for the game's folder.</summary>
        public ClientConfig ToConfig()
        {
            return new ClientConfig
            {
                Product = Given(product),
                ApiKey = Given(apiKey),
                SharedKey = Given(sharedKey),
                LicenseKey = Given(licenseKey),
                BaseUrl = Given(baseUrl),
                PublicKey = Given(publicKey),
                StorageDir = keepOnDisk ? Path.Combine(Application.persistentDataPath, "floatlease") : null,
                AppName = Given(Application.productName),
                AppVersion = Given(Application.version),
            };
        }

        /// <summary>A request of these.</summary>
        public LeaseRequest ToRequest()
        {
            return new LeaseRequest
            {
                Features = features == null || features.Length == 0 ? null : features,
                Wait = TimeSpan.FromSeconds(waitSeconds),
                Grace = TimeSpan.FromSeconds(graceSeconds),
            };
        }

        private static string Given(string text) => string.IsNullOrEmpty(text) ? null : text;
    }
}
